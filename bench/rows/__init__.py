"""A file a row: ABOUT, what it measures; `run(session)`, which does; BOOTS, how late it comes, if it
boots guests: 1, 2 where those that several rows share are up."""
