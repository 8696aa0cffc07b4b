"""Our own training loop: it prunes while it trains, and what it has done is never lost."""
