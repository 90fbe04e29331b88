//! AWS calls byte for byte: see `tests/clouds/aws_wire.py` for what botocore says of them.
