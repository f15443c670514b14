"""Which schema this broker knows."""

# The newest migration. A constant of its own, so that opening an up-to-date store does not import Alembic (0.4 s), and
# looking into one not even SQLAlchemy.
HEAD = "0002"
