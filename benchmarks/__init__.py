"""What a read costs, beside the same requests sent by a bare client, and beside another version of the connector."""
