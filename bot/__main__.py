"""`python -m bot` is the console script `bot`."""

from bot.cli.main import main

main()
