"""What a read costs, beside the same calls made by a bare client."""
