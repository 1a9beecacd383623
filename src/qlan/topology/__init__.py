"""What the user wrote: networks, guests, NICs, forwards; read, checked, and completed with addresses."""
