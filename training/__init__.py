"""Trainers: public labelled images in, a folder of `engines/catalogue/` out."""
