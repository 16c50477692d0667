"""`canon graph`: a project as a picture, from what is declared to what is deployed."""
