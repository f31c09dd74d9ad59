"""`python -m jackfield`: the command `jackfield`."""

from jackfield.cli.main import main

main(prog_name="jackfield")
