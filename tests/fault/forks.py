"""Processes that can be killed, at no cost: one of them loads torch, and all others are forks of it."""

import multiprocessing

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "burnish.methods.dpo",
        "burnish.methods.evaluate",
        "burnish.methods.ppo",
        "burnish.methods.reject",
        "burnish.methods.reward",
        "burnish.methods.sft",
        "burnish.feedback.page.serving",
    ]
)
