"""What pages show of enrollments; each answers for the identity of the transaction."""
