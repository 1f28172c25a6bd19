"""Reading runs: tables, tests, and the report's page."""
