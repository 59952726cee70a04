"""How it thinks: steps, the reducer, context, prompt, model, and a roster of small focused agents."""
