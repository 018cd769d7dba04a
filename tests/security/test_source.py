"""Nothing in src/ can run what it reads: no pickle, no eval, no shell, no unsafe YAML, no code of models.

ruff's S rules look for much of this too, but let a line pass that says `noqa`; here nothing passes.
"""

import ast
import sys
from pathlib import Path

import pytest

import burnish

SOURCE = Path(burnish.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
PICKLES = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
CALLS = {
    "eval": "runs text as code",
    "exec": "runs text as code",
    "__import__": "imports what a text names",
    "os.system": "is a shell",
    "os.popen": "is a shell",
    "subprocess.getoutput": "is a shell",
    "subprocess.getstatusoutput": "is a shell",
    "yaml.load": "makes Python objects",
    "yaml.load_all": "makes Python objects",
    "yaml.full_load": "makes Python objects",
    "yaml.unsafe_load": "makes Python objects",
    "torch.load": "unpickles",
    "np.load": "may unpickle",
    "numpy.load": "may unpickle",
    "logging.config.listen": "runs what it is sent",
    "tempfile.mktemp": "names a file that another may make first",
}


OBJECTS = {
    f"{does}_object{rest}"
    for does, rest in (
        ("all_gather", ""),
        ("gather", ""),
        ("broadcast", "_list"),
        ("scatter", "_list"),
        ("send", "_list"),
        ("recv", "_list"),
    )
}


def dotted(node: ast.expr) -> str:
    """`a.b.c` of a call's function, as far as it is names."""
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return node.id if isinstance(node, ast.Name) else ""


def constant(call: ast.Call, name: str) -> object:
    """A keyword's value where it is written out, else None."""
    found = next((keyword.value for keyword in call.keywords if keyword.arg == name), None)
    return found.value if isinstance(found, ast.Constant) else None


def faults(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            found += [f"{node.lineno}: {name}" for name in names if name.split(".")[0] in PICKLES]
        if isinstance(node, ast.Call):
            found += [f"{node.lineno}: {trouble}" for trouble in troubles(node)]
    return found


def troubles(call: ast.Call) -> list[str]:
    name = dotted(call.func)
    told = [f"{name} {CALLS[name]}"] if name in CALLS else []
    keywords = {keyword.arg for keyword in call.keywords}
    if "shell" in keywords and constant(call, "shell") is not False:
        told.append("shell=True")
    if "trust_remote_code" in keywords and constant(call, "trust_remote_code") is not False:
        told.append("trust_remote_code")
    owner, _, method = name.rpartition(".")
    if method in OBJECTS:
        told.append(f"{name} pickles what processes exchange")
    if method in ("from_pretrained", "from_config") and owner != "PeftModel":  # peft has no such code
        if "trust_remote_code" not in keywords:
            told.append(f"{name} without trust_remote_code=False: the default may change")
        if method == "from_pretrained" and owner not in ("AutoConfig", "AutoTokenizer"):
            safe = constant(call, "use_safetensors") is True or "gguf_file" in keywords
            told += [] if safe else [f"{name} without use_safetensors=True"]
    return told


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(SOURCE).as_posix())
def test_no_file_can_run_what_it_reads(file: Path):
    assert faults(ast.parse(file.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib.memory",
        "distributed.all_gather_object(heard, told)",
        "distributed.broadcast_object_list(heard)",
        "eval('1')",
        "subprocess.run('ls', shell=True)",
        "subprocess.run('ls', shell=wish)",
        "yaml.load(text)",
        "torch.load(file, weights_only=True)",
        "AutoModelForCausalLM.from_pretrained(path, use_safetensors=True)",
        "AutoModelForCausalLM.from_pretrained(path, trust_remote_code=False)",
        "AutoTokenizer.from_pretrained(path, trust_remote_code=wish)",
        "loader.from_pretrained(path, use_safetensors=True)",
        "loader.from_pretrained(path, gguf_file=name)",
    ],
)
def test_what_could_is_found(line: str):
    assert len(faults(ast.parse(line))) == 1


def test_all_of_the_package_is_looked_at_and_templates_run_apart():
    assert len(FILES) > 150
    assert "jinja2" not in imported_by(SOURCE / "data/rendering.py"), "a template runs in the worker, not in ours"
    assert imported_by(SOURCE / "data/render_worker.py") - {"jinja2"} <= sys.stdlib_module_names


def imported_by(file: Path) -> set[str]:
    """The top-level modules that a file imports itself."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


def test_checks_are_no_asserts_which_python_leaves_out_when_it_is_told_to_optimise():
    """Those that are there say something to the type checker, and are one at most."""
    found = [
        f"{file.relative_to(SOURCE)}:{node.lineno}"
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assert)
    ]
    assert found == []
