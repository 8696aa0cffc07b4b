"""What any program needs of the system below it: files, locks, signals."""
