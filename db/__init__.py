"""The store: typed models, migrations, the packaged literature data, and queries by their domain names."""
