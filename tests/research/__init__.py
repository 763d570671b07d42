"""Small research programs as their authors would write them, each compared with a reference or a closed form."""
