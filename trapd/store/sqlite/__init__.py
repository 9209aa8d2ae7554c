"""One SQLite file: its connections, its tables, and what is durable when."""
