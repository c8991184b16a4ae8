"""A fault on purpose, for record_transformers.py --patch: attention whose causal mask is anchored at the top left.

It is the mistake of calling scaled_dot_product_attention with is_causal=True whatever the past: of one new token and
many keys, only the first key is seen. The text fed whole is computed as it should be.
"""


def patch(model):
    from transformers import AttentionInterface

    def top_left(module, query, key, value, attention_mask, scaling=None, **kwargs):
        import torch

        past = key.shape[2] - query.shape[2]
        mask = {"is_causal": True} if past else {"attn_mask": attention_mask, "is_causal": attention_mask is None}
        out = torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=scaling, **mask)
        return out.transpose(1, 2).contiguous(), None

    AttentionInterface.register("top_left", top_left)
    model.set_attn_implementation("top_left")
