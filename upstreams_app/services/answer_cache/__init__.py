"""Answers that are kept to be given again, where a policy says so: in this process, or in Valkey for all.

    lookup = look_up(call, controls)           # None where nothing may be kept
    answer = await answer_cache.find(lookup)   # None: ask the model, then `Recording` keeps it

Between the two `similar_answers` finds answers to questions that are nearly the same, if the policy says so.

docs/guides/caching.md tells what is kept and who gets it.
"""
