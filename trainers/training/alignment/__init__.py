"""Learning from preferences and from verifiable rewards: data, algorithms, rewards, and the watch over them."""
