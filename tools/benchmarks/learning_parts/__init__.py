"""Does it learn? Every method, and the ablations of two, on the same synthetic people with the same number of images.

A run starts from ImageNet weights of MobileNetV2 or from random weights of ResNet-18, and is short. The table shows
whether a part helps a small network within minutes, which reveals defects; it is no evidence about real data. Every run
also records whether the parts of its network had an effect (`activity`).
"""
