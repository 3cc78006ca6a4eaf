"""One folder per platform; `handrail.partners.registry` finds them."""
