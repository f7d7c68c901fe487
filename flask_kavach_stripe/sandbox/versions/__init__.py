"""API versions: which ones there are, and what each of them changed.

The sandbox stores objects in the shape of the newest version. A call or a webhook of
an older version is translated at the border: parameters on the way in, objects on the
way out.
"""
