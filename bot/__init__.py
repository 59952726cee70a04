"""The program: it brings the environment, the team file and all the other rooms together, and runs them."""
