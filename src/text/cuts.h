// Where a long text may be cut so that its parts, encoded one by one, give the ids of the whole. Only cuts that can be
// proved are offered: between a character that is no white space (X) and white space (W).
//
// Why it holds there, step by step. Added tokens: none may hold X before W, so none lies across the cut; one that takes
// the white space to its left along stops at X; those that take it to the right, or that look at their neighbours, rule
// cuts out. Normaliser: NFC and lower case never join anything to an ASCII character before it. Pre-tokeniser: see
// PreTokenizer::cut_before. BPE looks at one word at a time; where all of a text is one word and a space is a mark in
// it, as in SentencePiece, no token may hold a mark behind another character.
#pragma once

#include <cstddef>
#include <string_view>

#include "text/pipeline.h"

namespace pkv::text {

// What W may be for this tokenizer; a Pipeline keeps the answer (`cuts`).
CutBefore find_cut_before(const Pipeline& pipeline);

// The last cut of `text` that lies behind `from`, 0 when there is none. `text` need not be valid UTF-8.
std::size_t last_cut(std::string_view text, std::size_t from, CutBefore before);

}  // namespace pkv::text
