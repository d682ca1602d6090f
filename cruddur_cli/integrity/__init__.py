"""What must agree in a Cruddur, inside each store and between them. Pure: what was read goes in, findings come out."""
