"""What our own time is made of, measured: `python -m tests.benchmarks` (or `make bench`) prints one table.

The work is always the same, the approve-loop: one message, eight steps that only look, one deployment to production
that pauses for approval and is resumed, done. So the model is asked ten times, and a "step" is a
tenth of the loop. The model is a stub in a process of its own that answers at once; what is measured is everything
else. It is deploybot's own prompt, steps and schema; its look-ups answer one short record without looking.

Nothing of ours is switched off: every event is durable in a real Valkey before we go on (append-only file, fsync every
second, on a Unix socket), tools are written ahead, appends are fenced and deduplicated, threads are leased, every event
is logged, and the model is asked through the openai SDK. What is compared runs in the same process, on the same event
loop, in turns: a bare client, the usual ways by hand, and a framework where its package is installed
(`pip install pydantic-ai-slim`).

Only ratios travel to another machine, so nothing here fails for being slow.
"""
