// SPDX-License-Identifier: Apache-2.0
//
// A file that torch.save wrote: pytorch_model.bin, .pt, .pth. Both formats are read: the zip
// archive of PyTorch 1.6 and later, and the sequence of pickles before it. The pickle is parsed by
// a machine that can execute nothing (pickle_machine.h).
//
// Source: PyTorch, torch/serialization.py (_save, _legacy_save).
#pragma once

#include <filesystem>

#include "nibble/io/tensor_file.h"

namespace nibble {

class TorchFile : public TensorFile {
 public:
  // Maps the file and checks pickle, storages and views; the data is not touched. Its tensors are
  // those of the state dict: the saved dict itself or, when that holds no tensors, the dict under
  // one of the usual names ("state_dict", "model_state_dict", "model", "module"). Values that are
  // no tensors are passed over. Tensors come in the order of the dict.
  //
  // Throws Error (file, tensor, byte offset) for a pickle that asks for more than a state dict
  // needs, for views that reach past their storage, and for what is not read: big-endian archives,
  // compressed archives, TorchScript, the tar format before PyTorch 0.1.10, dtypes that nibble does
  // not have. A view may repeat elements, but not to more bytes than the file has.
  static TorchFile open(const std::filesystem::path& path);

 private:
  using TensorFile::TensorFile;
};

}  // namespace nibble
