"""What describes the out-of-process protocol, made of its method table and its structs: JSON Schemas, OpenRPC, TypeScript, a reference."""
