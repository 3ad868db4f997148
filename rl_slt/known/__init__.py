"""Problems whose learning coefficient is known, by the names of the table of known answers."""
