"""The program: wires the environment, the team file and all other packages together, and runs them."""
