"""Rules about Envoy's configuration: what lets requests past authorization, or lets two parties read them in two ways.

Pure: text in, findings out. A rule per file, with its page; `codes.RULES` is the table. Rules were measured on Envoy
1.40.0.
"""
