"""Reports as files: what is asked (`query`, `periods`), rows (`table`), the formats, and their manifests."""
