"""The program: it brings the environment, the team file and all other rooms together, and gives them faces."""
