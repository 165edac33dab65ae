"""Images with what they show in recipes: scenes, COCO, folders and AMBER, described and asked about."""
