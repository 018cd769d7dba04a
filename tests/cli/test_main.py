import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from safetensors import SafetensorError

from burnish.cli.common import columns, command
from burnish.cli.main import app, main
from burnish.cli.reference import leaves, reference
from burnish.errors import BurnishError, NonFiniteLoss

RECIPE = "name: test\nmodel: model\nstages:\n  first: {method: sft, model: base, data: data.jsonl, learing_rate: 1}\n"


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a recipe that has one wrong key."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "data.jsonl").write_text('{"prompt": "a", "response": "b"}\n')
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A command that raises what a test gives it."""
    raised: list[BaseException] = []
    commands = list(app.registered_commands)

    @command(app, "fail")
    def fail() -> None:
        raise raised[0]

    yield raised
    app.registered_commands[:] = commands


def test_help_waits_for_nothing_heavy():
    code = (
        "import sys; from burnish.cli.main import main; main(['--help'])\n"
        "heavy = {'torch', 'transformers', 'numpy', 'scipy', 'sklearn', 'pydantic', 'yaml'} & set(sys.modules)\n"
        "sys.exit(f'{heavy} were imported' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "burnish demo" in done.stdout


def test_the_package_alone_imports_nothing_heavy():
    code = "import sys, burnish; sys.exit('torch' in sys.modules or 'sft' not in dir(burnish))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "burnish 0.1.0\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["sftt"], "Did you mean 'sft'"),
        (["sft", "--model", "m"], "Missing option '--data'"),
        (["sft", "--modl", "m"], "No such option"),
        (["sft", "--modl", "m"], "Try: burnish sft --help"),
        (["rank", "serve", "--live"], "Try: burnish rank serve --help"),
        (["plan", "recipe.yaml", "--threads", "none"], "--threads"),
        (["plan", "recipe.yaml", "--set", "beta"], "expected key=value"),
        (["plan", "recipe.yaml", "--set", "seed=1", "--seed", "2"], "keep one"),
    ],
)
def test_a_wrong_command_line_ends_with_64(
    there: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
):
    assert main(arguments) == 64
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: ")
    assert says in told.err


def test_a_wrong_recipe_ends_with_78_and_one_message(there: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["run", "recipe.yaml"]) == 78
    assert capsys.readouterr().err == (
        "error: recipe.yaml:4: first.learing_rate: unknown key; did you mean learning_rate?\n"
    )
    assert not (there / "runs").exists()


def test_a_missing_file_ends_with_66(there: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["sft", "--model", "model", "--data", "dat.jsonl", "--out", "out"]) == 66
    assert "error: --data: dat.jsonl: no such file" in capsys.readouterr().err


def test_a_traceback_is_shown_on_demand_only(there: Path, capsys: pytest.CaptureFixture[str]):
    main(["run", "recipe.yaml"])
    assert "Traceback" not in capsys.readouterr().err
    assert main(["run", "recipe.yaml", "--debug"]) == 78
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NonFiniteLoss("loss nan"), 70),
        (KeyboardInterrupt(), 130),
        (MemoryError(), 71),
        (OSError(28, "No space left on device"), 74),
        (SafetensorError("I/O error: No space left on device (os error 28)"), 74),
        (SafetensorError("I/O error: Permission denied (os error 13)"), 74),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."), 71),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: not enough memory: you tried …"), 71),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB, other allocations: 1 GB)"), 71),
        (RuntimeError("CUDA error: out of memory"), 71),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), 71),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), 71),
        (RuntimeError("an allocator that is none of the machine's"), 70),
        (FileNotFoundError(2, "no", "x"), 66),
        (ZeroDivisionError("division by zero"), 70),
    ],
)
def test_every_failure_has_its_exit_code(
    failing: list[BaseException], capsys: pytest.CaptureFixture[str], error: BaseException, code: int
):
    failing.append(error)
    assert main(["fail"]) == code
    assert "Traceback" not in capsys.readouterr().err


def test_only_a_full_disk_asks_for_space(failing: list[BaseException], capsys: pytest.CaptureFixture[str]):
    for number, asked in ((28, True), (122, True), (13, False), (5, False)):
        failing[:] = [SafetensorError(f"I/O error (os error {number})")]
        assert main(["fail"]) == 74
        assert ("Free some space" in capsys.readouterr().err) == asked


def test_every_error_of_ours_has_its_own_line_in_the_table():
    table = (Path(__file__).parents[2] / "docs/exit-codes.md").read_text()
    kinds = [BurnishError]
    for kind in kinds:
        kinds += kind.__subclasses__()
        assert f"| {kind.exit_code} |" in table


def test_a_fault_of_ours_says_where_and_how_to_report_it(
    failing: list[BaseException], capsys: pytest.CaptureFixture[str]
):
    failing.append(ZeroDivisionError("division by zero"))
    main(["fail"])
    told = capsys.readouterr().err
    assert "ZeroDivisionError" in told
    assert "--debug" in told


def test_a_message_cannot_drive_the_terminal_nor_tell_a_secret(
    failing: list[BaseException], capsys: pytest.CaptureFixture[str]
):
    failing.append(BurnishError("red \x1b[31m and hf_abcdefghijkl"))
    main(["fail"])
    assert capsys.readouterr().err == "error: red \\x1b[31m and ***\n"


def test_a_plan_is_text_or_one_object(there: Path, capsys: pytest.CaptureFixture[str]):
    (there / "recipe.yaml").write_text(RECIPE.replace("learing_rate: 1", "learning_rate: 1e-3"))
    assert main(["plan", "recipe.yaml"]) == 0
    assert "given recipe.yaml:4" in capsys.readouterr().out
    assert main(["plan", "recipe.yaml", "--json", "--seed", "5"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["stages"]["first"]["settings"]["seed"] == {"value": 5, "from": "inherited --set"}


def test_whoever_reads_us_may_stop_reading():
    code = "from burnish.cli.common import show; show('a long line ' * 100_000, as_json=False)"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f'"$0" -c "{code}" | true', sys.executable], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_quiet_means_nothing_but_errors(failing: list[BaseException], capsys: pytest.CaptureFixture[str]):
    commands = list(app.registered_commands)

    @command(app, "chatter")
    def chatter() -> str:
        print("step 1", file=sys.stderr)
        return "result"

    try:
        assert main(["chatter", "--quiet"]) == 0
    finally:
        app.registered_commands[:] = commands
    assert capsys.readouterr() == ("result\n", "")
    failing.append(BurnishError("bad"))
    assert main(["fail", "--quiet"]) == 70
    assert capsys.readouterr().err == "error: bad\n"


def test_what_is_compared_stands_side_by_side():
    assert columns({"compare": {"sft": {"win_rate": 0.5, "kl": 0.0}, "ppo": {"win_rate": 0.71828, "kl": None}}}) == [
        "compare",
        "            sft     ppo",
        "  win_rate  0.5  0.7183",
        "  kl          0    None",
    ]


def test_every_command_takes_the_shared_options_and_shows_an_example():
    for name, one in leaves(typer.main.get_command(app), "burnish"):
        options = {option for parameter in one.params for option in parameter.opts}
        assert {"--json", "--seed", "--threads", "--quiet", "--debug"} <= options, name
        assert f"Example: {name}" in one.help, name


def test_the_reference_is_what_the_commands_say():
    page = Path(__file__).parents[2] / "docs/commands.md"
    assert page.read_text(encoding="utf-8") == reference(), "python -m burnish.cli.reference > docs/commands.md"
