"""Where the time of one request goes that has to go to the model, stage by stage."""
