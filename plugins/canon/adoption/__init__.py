"""`canon init`: a project that runs as it is in an empty repository, and the declarations of one that DVC runs already."""
