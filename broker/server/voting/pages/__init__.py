"""The files that voters' browsers load: no templates, the same bytes for everybody."""
