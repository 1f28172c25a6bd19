"""Does the engine hold on this GPU, and what does it cost there?"""
