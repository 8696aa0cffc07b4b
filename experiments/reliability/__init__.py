"""Does a run that was killed end with the same bits as one that was never touched?"""
