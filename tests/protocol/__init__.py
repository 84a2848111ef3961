"""The rules of the protocol, module by module; no storage, no network."""
