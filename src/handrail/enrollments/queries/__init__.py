"""What is read of enrollments: for pages as the identity of the transaction, for the reconciler as the service."""
