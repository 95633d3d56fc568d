#pragma once

#include "lyre/base/cuda/queue.h"
#include "lyre/lm/cuda/device_types.h"

namespace lyre::cuda {

/// Draws one token for every head whose sequence may still draw (not stopped, length below
/// max_tokens), by the rules of draw_token.h, and notes it as SequenceTable::draw() does: in
/// `seen`, in the sequence (token, drawn, stopped) and at the end of the head's draws. Heads have
/// different sequences. Overlaps the kernel before it.
///
/// Logits, penalties and weights are the processor's bit for bit. Sums are not: weights are added
/// as integers in units of 2^-45 of the greatest (2^18 candidates) to 2^-51 (4,096), exactly and in
/// any order, where the processor adds doubles one after the other. Each weight loses less than a
/// unit, so another token comes out only where the uniform number lies within 1e-8 (160,000
/// candidates) or 1e-11 (4,096) of a border between two tokens.
void draw_tokens(Queue& queue, const DrawTask& task);

}  // namespace lyre::cuda
