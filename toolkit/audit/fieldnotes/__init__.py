"""Field notes: what transformers' vision-language models really do, measured, and what it means for an explanation."""
