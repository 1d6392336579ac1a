"""Any bytes at every door through which strangers' bytes come in: targets, a corpus, and an engine that is guided by coverage."""
