"""Publishing on the hub: facts and scores make a card; card, weights and code make a repository; upload sends it."""
