"""Resources -> the commands that make, change and remove them: texts and words, run by host/, shown by `qlan plan`."""
