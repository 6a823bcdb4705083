"""From clean tables to numbers, learned inside the fold.

- `encoders`: features of single rows (`feature_frame`), and the encoder of all columns.
- `transformers`: Box-Cox, hashing, target means, products and crosses.
- `text`: text columns.
"""
