"""Problems whose answer is known, to judge samplers by; one family per file."""
